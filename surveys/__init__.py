"""LISTEN: touchpoint -> instrument -> event -> invitation -> response. Imports no other app of ours."""
