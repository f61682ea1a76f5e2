"""A certificate authority of one's own, by openssl."""
import subprocess
from pathlib import Path


def _openssl(*args):
    done = subprocess.run(["openssl", *args], capture_output=True, check=False)
    assert done.returncode == 0, f"openssl {args[0]}: {done.stderr.decode(errors='replace')}"


class Authority:
    """In a folder, with `file` to be trusted."""

    def __init__(self, folder, name="Test CA"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = self.folder / "ca.pem"
        _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                 "-subj", f"/CN={name}", "-keyout", self.folder / "ca.key", "-out", self.file)

    def issue(self, names):
        """server.pem and server.key for these subject alternative names."""
        request = self.folder / "server.csr"
        extensions = self.folder / "server.ext"
        extensions.write_text(f"subjectAltName={names}\n", encoding="ascii")
        _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=server",
                 "-keyout", self.folder / "server.key", "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.folder / "ca.key",
                 "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", self.folder / "server.pem")
