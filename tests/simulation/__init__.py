"""The real pipeline against a fake world, step by step: thousands of schedules of crashes, zombies and lost answers."""
