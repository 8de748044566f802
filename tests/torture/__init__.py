"""What the sessions must survive, as figures: ``make torture`` runs the long form, the tests run a short one."""
