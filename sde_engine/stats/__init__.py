"""Statistics of stationary laws from the fixed amount of numbers that a run leaves behind (`backends.trace`)."""
