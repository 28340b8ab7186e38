"""The register as FHIR asks for it: searches as queries, rows as resources, pages of one moment."""
