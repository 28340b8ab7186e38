"""A register of people who do not exist: extraction files as the national directory publishes them, of any size."""
