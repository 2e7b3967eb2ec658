"""Many images on Ray Data, `tritonface batch`: pieces of the inputs go to workers, their tables to one folder.

`listing` takes the inputs apart, `store` reads object stores, `folder` is what is written and where a run goes on,
`tables` has the columns, `worker` finds the faces of one piece, `cluster` starts Ray and hands out the pieces.
"""
