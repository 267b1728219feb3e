"""What the reliability tests share: children that can be killed, mutations of checkpoint files, a count of attempts."""
