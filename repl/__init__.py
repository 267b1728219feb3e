"""What a person or a script touches: command line, screen, commands, text generator, sampling."""
