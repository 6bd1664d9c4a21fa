"""The kinds of steps, each as far as it is decided and not done."""
