"""DICOMweb (PS3.18): what Penumbra holds and made, to be searched and fetched; instances to be taken in.

`holdings.py` finds objects, `headers.py` reads them, `search.py` and `matching.py` answer queries, `media.py` and
`related.py` say and carry what a client accepts, `parts.py` and `store.py` take instances in.
"""
