"""What the terminal tests are made with: a pseudo-terminal read through an emulator, and small families."""
