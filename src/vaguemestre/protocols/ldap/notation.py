"""The notation of LDAP's messages, from which `asn1tools` makes what reads and writes them.

RFC 4511 Appendix B, less what a server that only reads never looks into: the contents of requests that would write.
Codes are read as numbers, so that one this server does not know stays what the client sent. Control values of RFC 2696
and RFC 2891, and the value of Cancel (RFC 3909), stand beside the messages.
"""

NOTATION = """
LDAP DEFINITIONS IMPLICIT TAGS EXTENSIBILITY IMPLIED ::= BEGIN

LDAPMessage ::= SEQUENCE {
    messageID INTEGER,
    protocolOp CHOICE {
        bindRequest BindRequest,
        bindResponse BindResponse,
        unbindRequest UnbindRequest,
        searchRequest SearchRequest,
        searchResEntry SearchResultEntry,
        searchResDone SearchResultDone,
        modifyResponse ModifyResponse,
        addResponse AddResponse,
        delResponse DelResponse,
        modDNResponse ModifyDNResponse,
        compareRequest CompareRequest,
        compareResponse CompareResponse,
        abandonRequest AbandonRequest,
        extendedReq ExtendedRequest,
        extendedResp ExtendedResponse,
        ...
    },
    controls [0] Controls OPTIONAL
}

Controls ::= SEQUENCE OF control Control
Control ::= SEQUENCE {
    controlType OCTET STRING,
    criticality BOOLEAN DEFAULT FALSE,
    controlValue OCTET STRING OPTIONAL
}

ResultCode ::= [UNIVERSAL 10] IMPLICIT INTEGER
LDAPResult ::= SEQUENCE {
    resultCode ResultCode,
    matchedDN OCTET STRING,
    diagnosticMessage OCTET STRING
}

BindRequest ::= [APPLICATION 0] SEQUENCE {
    version INTEGER,
    name OCTET STRING,
    authentication CHOICE {
        simple [0] OCTET STRING,
        sasl [3] SaslCredentials,
        ...
    }
}
SaslCredentials ::= SEQUENCE {
    mechanism OCTET STRING,
    credentials OCTET STRING OPTIONAL
}
BindResponse ::= [APPLICATION 1] SEQUENCE {
    resultCode ResultCode,
    matchedDN OCTET STRING,
    diagnosticMessage OCTET STRING,
    serverSaslCreds [7] OCTET STRING OPTIONAL
}
UnbindRequest ::= [APPLICATION 2] NULL

SearchRequest ::= [APPLICATION 3] SEQUENCE {
    baseObject OCTET STRING,
    scope ResultCode,
    derefAliases ResultCode,
    sizeLimit INTEGER,
    timeLimit INTEGER,
    typesOnly BOOLEAN,
    filter Filter,
    attributes SEQUENCE OF OCTET STRING
}
Filter ::= CHOICE {
    and [0] SET OF filter Filter,
    or [1] SET OF filter Filter,
    not [2] EXPLICIT Filter,
    equalityMatch [3] AttributeValueAssertion,
    substrings [4] SubstringFilter,
    greaterOrEqual [5] AttributeValueAssertion,
    lessOrEqual [6] AttributeValueAssertion,
    present [7] OCTET STRING,
    approxMatch [8] AttributeValueAssertion,
    extensibleMatch [9] MatchingRuleAssertion,
    ...
}
AttributeValueAssertion ::= SEQUENCE {
    attributeDesc OCTET STRING,
    assertionValue OCTET STRING
}
SubstringFilter ::= SEQUENCE {
    type OCTET STRING,
    substrings SEQUENCE OF substring CHOICE {
        initial [0] OCTET STRING,
        any [1] OCTET STRING,
        final [2] OCTET STRING
    }
}
MatchingRuleAssertion ::= SEQUENCE {
    matchingRule [1] OCTET STRING OPTIONAL,
    type [2] OCTET STRING OPTIONAL,
    matchValue [3] OCTET STRING,
    dnAttributes [4] BOOLEAN DEFAULT FALSE
}
SearchResultEntry ::= [APPLICATION 4] SEQUENCE {
    objectName OCTET STRING,
    attributes SEQUENCE OF PartialAttribute
}
PartialAttribute ::= SEQUENCE {
    type OCTET STRING,
    vals SET OF value OCTET STRING
}
SearchResultDone ::= [APPLICATION 5] LDAPResult

ModifyResponse ::= [APPLICATION 7] LDAPResult
AddResponse ::= [APPLICATION 9] LDAPResult
DelResponse ::= [APPLICATION 11] LDAPResult
ModifyDNResponse ::= [APPLICATION 13] LDAPResult

CompareRequest ::= [APPLICATION 14] SEQUENCE {
    entry OCTET STRING,
    ava AttributeValueAssertion
}
CompareResponse ::= [APPLICATION 15] LDAPResult
AbandonRequest ::= [APPLICATION 16] INTEGER

ExtendedRequest ::= [APPLICATION 23] SEQUENCE {
    requestName [0] OCTET STRING,
    requestValue [1] OCTET STRING OPTIONAL
}
ExtendedResponse ::= [APPLICATION 24] SEQUENCE {
    resultCode ResultCode,
    matchedDN OCTET STRING,
    diagnosticMessage OCTET STRING,
    responseName [10] OCTET STRING OPTIONAL,
    responseValue [11] OCTET STRING OPTIONAL
}

PagedResults ::= SEQUENCE { size INTEGER, cookie OCTET STRING }
CancelValue ::= SEQUENCE { cancelID INTEGER }

END
"""
