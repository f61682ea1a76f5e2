"""A private Postfix: its own configuration, queue, ports and mailboxes; STARTTLS and implicit TLS under a CA of its own,
AUTH by SASL. Needs root, as Postfix does; touches nothing of an instance of the system's."""
import email
import email.policy
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from lib.authority import Authority
from lib.ports import free_port, is_open
from lib.service import spawn
from lib.wait import eventually

USER, PASSWORD = "postback", "correct horse battery"
DOMAIN = "example.com"
MAILBOX_OWNER = "nobody"

MAIN = """\
compatibility_level = 3.6
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.{domain}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = texthash:{folder}/etc/mailboxes
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
smtpd_recipient_restrictions = check_recipient_access texthash:{folder}/etc/access, reject_unlisted_recipient
smtpd_tls_cert_file = {folder}/tls/server.pem
smtpd_tls_key_file = {folder}/tls/server.key
smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd
cyrus_sasl_config_path = {folder}/etc/sasl
smtpd_sasl_local_domain = {domain}
smtpd_client_connection_rate_limit = 0
message_size_limit = 4194304
"""

# Each service's name here is what Postfix.url() takes.
SERVICES = {
    "clear": "-o smtpd_tls_security_level=none",
    "starttls": "-o smtpd_tls_security_level=may",
    "submission": "-o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes "
                  "-o smtpd_client_restrictions=permit_sasl_authenticated,reject",
    "submissions": "-o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes "
                   "-o smtpd_client_restrictions=permit_sasl_authenticated,reject",
    "clear-auth": "-o smtpd_tls_security_level=none -o smtpd_sasl_auth_enable=yes "
                  "-o smtpd_client_restrictions=permit_sasl_authenticated,reject",
}
TLS_FROM_THE_START = ("submissions",)

MASTER = """\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
postlog unix-dgram n - n - 1 postlogd
"""

SASL = """\
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {folder}/etc/sasl/sasldb2
mech_list: PLAIN LOGIN
"""


def _run(*args, **options):
    done = subprocess.run(args, capture_output=True, check=False, **options)
    assert done.returncode == 0, f"{args[0]}: {done.stderr.decode(errors='replace')}"


def _parsed(source):
    mail = email.message_from_bytes(source, policy=email.policy.default)
    mail.source = source
    return mail


class Postfix:
    """`with Postfix(mailboxes=("ann", "bob")) as postfix`: takes mail for them at example.com, refuses everybody else.
    `access`: what else is answered to whom, {"late@example.com": "450 4.2.0 later"}."""

    def __init__(self, mailboxes=("ann", "bob"), access=None):
        # Not below pytest's folder: Postfix's own user has to get there.
        self.folder = Path(tempfile.mkdtemp(prefix="postback-postfix-"))
        self.folder.chmod(0o755)
        self.mailboxes = mailboxes
        self.access = access or {}
        self.ports = {name: free_port() for name in SERVICES}
        self.process = None

    def __enter__(self):
        self._lay_out()
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def ca_file(self):
        return str(self.folder / "tls/ca.pem")

    def url(self, service):
        scheme = "smtps" if service in TLS_FROM_THE_START else "smtp"
        return f"{scheme}://127.0.0.1:{self.ports[service]}"

    def start(self):
        # Not by "start-fg": the shell that it is would go first and leave the master behind.
        _run("/usr/sbin/postfix", "-c", str(self.folder / "etc"), "check")
        self.process = spawn(["/usr/lib/postfix/sbin/master", "-s", "-c", str(self.folder / "etc")],
                             self.folder / "postfix.out", start_new_session=True)
        eventually(lambda: all(map(is_open, self.ports.values())), timeout=60,
                   what=f"Postfix listens: {self.log()[-2000:]}")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def mails(self, mailbox):
        """What arrived there, parsed, oldest first; `source` has the bytes."""
        new = self.folder / "mail" / mailbox / "new"
        files = sorted(new.iterdir(), key=lambda file: file.stat().st_mtime_ns) if new.exists() else []
        return [_parsed(file.read_bytes()) for file in files]

    def await_mails(self, mailbox, count=1, subject=None, timeout=60):
        """The mails there, of a subject if one is given, when there are so many."""
        def found():
            return [mail for mail in self.mails(mailbox) if subject is None or mail["subject"] == subject]

        eventually(lambda: len(found()) >= count, timeout=timeout,
                   what=f"{count} mails for {mailbox}; {self.log()[-2000:]}")
        return found()

    def log(self):
        texts = [self.folder / name for name in ("mail.log", "postfix.out")]
        return "".join(text.read_text(errors="replace") for text in texts if text.exists())

    def _write(self, name, text):
        (self.folder / name).write_text(text, encoding="utf-8")

    def _lay_out(self):
        owner = pwd.getpwnam(MAILBOX_OWNER)
        postfix = pwd.getpwnam("postfix")
        for name in ("etc", "etc/sasl", "queue", "data", "mail"):
            (self.folder / name).mkdir()
        os.chown(self.folder / "data", postfix.pw_uid, postfix.pw_gid)
        os.chown(self.folder / "mail", owner.pw_uid, owner.pw_gid)
        Authority(self.folder / "tls").issue("IP:127.0.0.1,DNS:localhost")
        self._write("etc/main.cf", MAIN.format(folder=self.folder, domain=DOMAIN, uid=owner.pw_uid, gid=owner.pw_gid))
        self._write("etc/master.cf", MASTER + "".join(
            f"127.0.0.1:{self.ports[name]} inet n - n - - smtpd {options}\n" for name, options in SERVICES.items()))
        self._write("etc/mailboxes", "".join(f"{name}@{DOMAIN} {name}/\n" for name in self.mailboxes))
        self._write("etc/access", "".join(f"{address} {answer}\n" for address, answer in self.access.items()))
        self._write("etc/sasl/smtpd.conf", SASL.format(folder=self.folder))
        database = self.folder / "etc/sasl/sasldb2"
        _run("saslpasswd2", "-p", "-c", "-f", str(database), "-u", DOMAIN, USER, input=PASSWORD.encode())
        os.chown(database, postfix.pw_uid, postfix.pw_gid)
