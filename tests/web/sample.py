"""The history of a sample session."""
import json
def ev():
    out=[]; 
    def a(kind, **k):
        out.append({"id":len(out)+1,"ts":f"2026-11-23T03:{12+len(out)//20:02d}:{(len(out)*3)%60:02d}.123Z","kind":kind,**k})
        return len(out)
    a("created",schema=1,agent="claude",model="claude-opus-5-5",title="disk full on db1",by="ada",host="db1")
    t=a("user",turn=2,text="What fills /var? The database refuses writes since 02:50.",by="ada",key="k-1")
    a("session",turn=t,session_id="8f2c1a34-5c1e-4f7e-9d41-d2f6a3b0c9e1",model="claude-opus-5-5")
    a("delta",turn=t,text="I'll look at "); a("delta",turn=t,text="the disk first.")
    a("text",turn=t,text="I'll look at the disk first, then at what grew **since yesterday**.")
    a("tool",turn=t,tool_id="t1",name="Bash",input={"command":"df -h","description":"Show disk usage"})
    a("tool_result",turn=t,tool_id="t1",output="Filesystem      Size  Used Avail Use% Mounted on\n/dev/vda1        40G   40G     0 \x1b[1;31m100%\x1b[0m /\ntmpfs           3.9G  1.1M  3.9G   1% /run\n/dev/vdb1       200G  112G   88G  57% /srv\n",is_error=False)
    a("tool",turn=t,tool_id="t0",name="TodoWrite",input={"todos":[{"content":"Look at the disk","status":"completed"},{"content":"Find what grew","status":"in_progress"},{"content":"Free space without losing logs","status":"pending"}]})
    a("tool_result",turn=t,tool_id="t0",output="Todos have been modified successfully.",is_error=False)
    a("tool",turn=t,tool_id="t2",name="Bash",input={"command":"du -x /var --max-depth=3 2>/dev/null | sort -rn | head -n 20\necho done","description":"Largest directories","timeout":120000})
    a("tool_result",turn=t,tool_id="t2",output="\n".join(f"{30000000//(i+1):>10}\t/var/log/journal/{i:032x}/system@{i:016x}.journal" for i in range(1800)),is_error=False,truncated=23000)
    a("tool",turn=t,tool_id="t3",name="Edit",input={"file_path":"/etc/systemd/journald.conf","old_string":"[Journal]\n#Storage=auto\n#Compress=yes\n#SystemMaxUse=\n#SystemKeepFree=\nForwardToSyslog=yes","new_string":"[Journal]\n#Storage=auto\n#Compress=yes\nSystemMaxUse=2G\nSystemKeepFree=4G\nForwardToSyslog=yes","replace_all":False})
    a("tool_result",turn=t,tool_id="t3",output="The file /etc/systemd/journald.conf has been updated.",is_error=False)
    a("tool",turn=t,tool_id="t4",name="Task",input={"description":"Check the database","prompt":"See whether PostgreSQL can write again and report what its log says.","subagent_type":"general-purpose"})
    a("tool",turn=t,tool_id="s1",name="Bash",parent="t4",input={"command":"systemctl status postgresql --no-pager"})
    a("tool_result",turn=t,tool_id="s1",parent="t4",output="\x1b[0;1;31m●\x1b[0m postgresql.service - PostgreSQL RDBMS\n     Loaded: loaded (/lib/systemd/system/postgresql.service; \x1b[0;1;32menabled\x1b[0m)\n     Active: \x1b[0;1;31mfailed\x1b[0m (Result: exit-code)\nexit status 3",is_error=True)
    a("text",turn=t,parent="t4",text="It stopped at 02:50 with `No space left on device`.")
    a("tool_result",turn=t,tool_id="t4",output="PostgreSQL stopped at 02:50: no space left on device.",is_error=False)
    a("retry",turn=t,attempt=2,error="529 overloaded")
    a("text",turn=t,text="""# What fills /var

The journal holds **30 GB** of 40. It has no limit on this machine, so it grew until nothing was left.

1. `journalctl --vacuum-size=2G` frees 28 GB at once.
2. The limit in `/etc/systemd/journald.conf` keeps it so.

| directory | size | may go |
|---|---|---|
| /var/log/journal | 30 GB | yes, but 2 GB |
| /var/lib/postgresql | 6 GB | no |

```bash
journalctl --vacuum-size=2G   # keeps the last days
systemctl restart postgresql
```

> Nothing is deleted yet. See [the manual](https://example.org/journald) ![remote](https://evil.example/x.png) <script>alert(1)</script>
""")
    a("result",turn=t,is_error=False,result="The journal holds 30 GB of 40.",duration_ms=48211,usage={"input_tokens":12,"cache_read_input_tokens":48211,"output_tokens":1320},cost_usd=0.0841)
    a("turn_end",turn=t,status="ok",duration_ms=49020)
    t=a("user",turn=len(out)+1,text="And free it. Keep the last two days.",by="ada")
    a("text",turn=t,text="I'll free it now, and keep what is newer than two days.")
    a("tool",turn=t,tool_id="u0",name="Bash",input={"command":"journalctl --disk-usage"})
    a("tool_result",turn=t,tool_id="u0",output="bash: journalctl: command not found",is_error=True)
    a("permission",turn=t,request="r0",name="Bash",input={"command":"journalctl --vacuum-time=2d"},expires="2026-11-23T03:20:00.000Z")
    a("answer",turn=t,request="r0",allow=True,by="ada")
    a("cancelled",turn=t,by="ada"); a("turn_end",turn=t,status="cancelled",duration_ms=8000)
    a("strange",turn=t,payload={"a":[1,2,"<b>"]})
    out.append({"id":len(out)+1,"kind":"foreign","text":"hello from echo <img src=x onerror=alert(1)>"})
    a("repaired",offset=12345,bytes=211,saved_as="events.jsonl.torn-12345")
    a("renamed",title="disk full on db1",by="ada")
    t=a("user",turn=len(out)+1,text="Try again with sudo.",by="ada")
    a("error",turn=t,error="The agent could not start: claude was not found. Install it or choose another agent. Your prompt is kept as line 37.")
    a("turn_end",turn=t,status="error",duration_ms=120)
    t=a("user",turn=len(out)+1,text="Once more.",by="ada")
    a("text",turn=t,text="Two things are left; I look at the size of the rest while I ask.")
    a("tool",turn=t,tool_id="v1",name="Bash",input={"command":"du -x /var"})
    a("tool",turn=t,tool_id="v2",name="Bash",input={"command":"rm -r /var/log/journal/*"})
    a("delta",turn=t,text="While that runs:\n\nthe journal of **this** boot is kept, ")
    a("delta",turn=t,text="since it is in use")
    a("permission",turn=t,request="r1",name="Bash",input={"command":"rm -r /var/log/journal/*","description":"Delete the old journals"},expires="2026-11-23T03:29:00.000Z")
    return out
