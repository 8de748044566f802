"""The documents: their code runs, their tables are complete, their site builds."""
