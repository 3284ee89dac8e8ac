"""Tables, plots and the page, made from results on disk. No torch."""
