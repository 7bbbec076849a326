"""ganzoo: a GAN zoo on Jittor, every model a plugin.

`__init__.pyi` lists the public names. Each is imported when it is first used, so `import ganzoo` is fast. `ganzoo.jt`
is Jittor itself.
"""

from __future__ import annotations

from typing import Any

import lazy_loader

__version__ = "0.1.0"

_import_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__", "jt"]


def __getattr__(name: str) -> Any:
    if name == "jt":
        from ganzoo.backend import jittor

        return jittor()
    return _import_name(name)
