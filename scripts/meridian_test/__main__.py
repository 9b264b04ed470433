import sys

from meridian_test.cli import main

sys.exit(main(sys.argv[1:]))
