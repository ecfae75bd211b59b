"""What other programs' frameworks need of libamy, one package each."""
