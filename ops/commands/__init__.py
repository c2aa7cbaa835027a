"""The commands: options, output and exit codes. Each imports what it works with when it runs, not before."""
