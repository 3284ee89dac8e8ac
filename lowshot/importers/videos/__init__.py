"""Videos of talking people to clips of one voice and pictures of one face."""
