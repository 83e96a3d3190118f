"""How dates are written, where Django's own way is not ours. In: a language. Out: a module of formats, as FORMAT_MODULE_PATH asks."""
