"""What is given away: wheel and source distribution."""
