class UserError(Exception):
    """Something the person at the command line can put right; its text says what."""
