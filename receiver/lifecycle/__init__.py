"""What the receiver does, one verb per file; every step reaches the world through ``ports`` alone."""
