"""What strangers and thieves can do, and what nobody gets to see."""
