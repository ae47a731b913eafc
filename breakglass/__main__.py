import sys
sys.argv[0]='x'
import os
from breakglass import config,agents
a=sys.argv[2:]
o={}
w=1
while a:
    k=a.pop(0)[2:]; v=a.pop(0)
    if k=='workers': w=int(v)
    else: o[k]=v
c=config.load(os.environ,agents.PROTOCOLS,overrides=o)
from breakglass.web import serve
sys.exit(serve.run(c,workers=w))
