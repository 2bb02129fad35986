"""The models that come with the engine, one a file, each with a `MODEL`; imported as `sde_engine.models`."""

if __name__ != "sde_engine.models":
    raise ImportError("import the models as sde_engine.models; a second import would give every model two types")
