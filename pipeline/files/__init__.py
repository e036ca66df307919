"""Files on local disks and in object stores: whole writes, locks, and credentials kept out of texts."""
