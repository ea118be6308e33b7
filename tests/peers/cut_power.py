"""Cuts a file system from its power: `cut_power.py MOUNT_POINT`.

EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH, as the kernel's include/uapi/linux/ext4.h numbers them.
"""

import fcntl
import os
import struct
import sys

SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2

descriptor = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
