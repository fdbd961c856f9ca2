import sys

print(list(range(int(sys.argv[1]))))
