"""FHIR R4 as the national directory speaks it: resources, searches, patches, as values; no I/O, no store."""
