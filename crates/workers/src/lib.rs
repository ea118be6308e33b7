//! Reactions that touch the outside world, one file each, and the model client.
