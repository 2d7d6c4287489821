"""The lake's files, in a folder or a bucket: paths, atomic writes, object stores."""
