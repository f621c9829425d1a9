"""Files: results that outlive a session, and checkpoints from which a run goes on.

A file is a zip archive (stored, not compressed), so that any tool can look into it:

- `mfsym.json`, the first member, UTF-8: {"format": "mfsym", "version": 1, "library": "0.1.0" (who wrote it),
  "arrays": how many members follow, "tree": the description of what was saved};
- `0.npy`, `1.npy`, …: the arrays, in the format of numpy without pickle; bfloat16 is stored as uint16;
- the comment of the archive, the last 77 bytes of the file: "mfsym sha256 " and the SHA-256 of all bytes before the
  64 digits, so that no change and no cut goes unnoticed (the CRC-32 of zip does not cover its own records).

The description of a value is null, true, false, a finite number or a string, which stand for themselves, or an object
whose first name is its kind:

    {"float": "nan"}                                     a float that JSON does not have
    {"tuple": [...]}, {"list": [...]}, {"dict": [[key, value], ...]}
    {"array": 3, "kind": K, "dtype": "float64", "shape": [2, 5]}
        member 3; K is "jax" (with "weak": whether weakly typed), "key" (a random key, with "generator"),
        "numpy", or "scalar" (of numpy)
    {"class": "problem.Gaussian", "fields": {...}}       one of the library's classes, by room and name
    {"given class": "MyTarget", "fields": {...}}         a user's class, which `load` must be given
    {"function": "jax.numpy.tanh"}                       a function of the list in registry.py
    {"given": "teacher"}                                 a user's function, which `load` must be given
    {"partial": "jax" or "functools", "inside": [function, arguments, keywords]}
    {"status": array of codes, "names": [...]}           a Status, by the names of its members

Reading looks names up in tables of what is already in memory. It never imports, evaluates or unpickles, so that a
file cannot run code. A checkpoint is such a file, holding the dict of `fingerprint`, `index` and `leaves`.

Version: a reader refuses any version but its own. The zip archive, the name of its first member, "format", "version"
and the seal stay for ever; a change of the rest, or of the meaning of a stored field, is a new version. A class whose
fields differ from those in a file is refused by name, so that adding a field needs no new version.
"""
