"""One file a neighbour; what runs is the code of docs/living-with.md."""
