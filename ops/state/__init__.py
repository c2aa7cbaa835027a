"""Shows the state table to operators, compacts it, makes it anew from the raw log, and checks it."""
