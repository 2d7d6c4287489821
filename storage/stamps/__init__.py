"""What a result was computed from: settings, code and the state of its inputs."""
