"""Numbers from numbers: metrics of verification, matching and retrieval. numpy only."""
