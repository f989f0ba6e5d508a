"""Training: settings, the module, runs that can be stopped and go on."""
