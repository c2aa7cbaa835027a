"""Does the same in other ways, each as its own documentation would have it written. They import nothing of ours."""
