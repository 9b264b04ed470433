import sys

from meridian_dev.cli import main

sys.exit(main(sys.argv[1:]))
