"""The HDF5 format; all that imports h5py and hdf5plugin."""
