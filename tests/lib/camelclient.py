# camelclient.py - fetches the first message of a maildrop by libcamel, the mail
# library of Evolution, and writes it to a file.  Run by Debian's own Python,
# which has the bindings (python3-gi, gir1.2-camel-1.2).
#
#   camelclient.py HOST PORT STLS|POP3S|none MECHANISM PASSWORD CA FILE
#
# EDS_CAMEL_PROVIDER_DIR says where the POP3 provider is.  Only a certificate
# whose issuer is in the file CA is trusted.
#
# SPDX-License-Identifier: MIT
import sys
import tempfile

import gi

gi.require_version("Camel", "1.2")
from gi.repository import Camel, Gio  # noqa: E402 (after its version)

SECURITY = {
    "none": Camel.NetworkSecurityMethod.NONE,
    "STLS": Camel.NetworkSecurityMethod.STARTTLS_ON_STANDARD_PORT,
    "POP3S": Camel.NetworkSecurityMethod.SSL_ON_ALTERNATE_PORT,
}

host, port, security, mechanism, password, ca, out = sys.argv[1:]


class Session(Camel.Session):
    def do_authenticate_sync(self, service, name, cancellable):
        result = service.authenticate_sync(name, cancellable)
        return result == Camel.AuthenticationResult.ACCEPTED

    def do_trust_prompt(self, service, certificate, errors):
        issuer = Gio.TlsCertificate.new_from_file(ca)
        if certificate.verify(None, issuer) == 0:
            return Camel.CertTrust.TEMPORARY
        return Camel.CertTrust.NEVER


with tempfile.TemporaryDirectory() as home:
    Camel.init(home, False)
    Camel.provider_init()
    session = Session(user_data_dir=home, user_cache_dir=home, online=True)
    store = session.add_service("kpop", "pop", Camel.ProviderType.STORE)
    settings = store.ref_settings()
    settings.props.host = host
    settings.props.port = int(port)
    settings.props.user = "alice"
    settings.props.security_method = SECURITY[security]
    if mechanism != "USER":
        settings.props.auth_mechanism = mechanism
    store.set_password(password)
    store.connect_sync(None)
    folder = store.get_inbox_folder_sync(None)
    folder.refresh_info_sync(None)
    uids = folder.get_uids()
    message = folder.get_message_sync(uids[0], None)
    stream = Camel.StreamMem.new()
    message.write_to_stream_sync(stream, None)
    with open(out, "wb") as file:
        file.write(stream.get_byte_array())
    store.disconnect_sync(True, None)
