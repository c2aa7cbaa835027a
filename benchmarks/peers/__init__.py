"""Other ways of doing the same, each as its own documentation would have it written. They import nothing of ours."""
