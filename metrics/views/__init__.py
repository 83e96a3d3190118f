"""Staff pages, one module each. In: a reports.Request. Out: a Report. What numbers mean and how they look is decided below."""
