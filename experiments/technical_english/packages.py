"""The documentation packages of Debian 12 (main) that the corpus is made of."""

import re
from dataclasses import dataclass

PAGE = re.compile(r"\.(x?html?|pod)$|\.html\.(en|gz)$|/man/man\d/[^/]+\.gz$")
SKIPPED = re.compile(
    r"(^|/)(genindex|search|py-modindex|modindex|_modules|class-use|src-html|javascript|changelog)"
    r"|(^|/)(all(classes|packages)|package-(tree|use)|overview-tree|deprecated-list"
    r"|constant-values|serialized-form|index-all|index-files|help-doc|(functions|globals|classes"
    r"|hierarchy|namespacemembers|annotated|files|pages)(_\w+)?\.html|source)"
    r"|-members\.html$|_source\.html$|_8h(pp)?\.html$|copyright|COPYING|LICEN[SC]E"
    r"|(^|[/.])(ar|bg|bn|ca|cs|da|de|el|eo|es|et|eu|fa|fi|fr|gl|gu|he|hi|hr|hu|id|it_IT|it|ja|ja_JP"
    r"|kk|km|ko|ko_KR|lt|lv|mr|nb|nb-NO|nl|nn|pa|pl|pt|pt-BR|pt_BR|pt-br|ro|ru|sk|sl|sp_SP|sr|sv|ta"
    r"|th|tr|uk|vi|zh|zh-CN|zh-TW|zh_CN|zh_TW|zh-cn|zh-tw|[a-z]{2}-[A-Z]{2}(?<!en-US)(?<!en-GB)"
    r"|translations)(/|$)"
)


@dataclass(frozen=True)
class Package:
    """A package.

    Attributes:
        name: Its name in Debian.
        licence: That of the documentation, from /usr/share/doc/NAME/copyright.
        only: What the paths of its pages match.
        but: What they do not match.
    """

    name: str
    licence: str
    only: str = ""
    but: str = r"^$"

    def has(self, path: str) -> bool:
        """Whether a file is a page of the corpus."""
        return (
            PAGE.search(path) is not None
            and SKIPPED.search(path) is None
            and re.search(self.only, path) is not None
            and re.search(self.but, path) is None
        )


PACKAGES = (
    Package("linux-doc-6.1", "?"),
    Package("postgresql-doc-15", "?"),
    Package("perl-doc", "?"),
    Package("python3.11-doc", "?"),
    Package("git-doc", "?"),
    Package("manpages", "?"),
    Package("manpages-dev", "?"),
    Package("libssl-doc", "?"),
    Package("vim-doc", "?"),
    Package("debian-handbook", "?"),
    Package("debian-policy", "?"),
    Package("debian-reference-en", "?"),
    Package("developers-reference", "?"),
    Package("sqlite3-doc", "?"),
    Package("python-django-doc", "?"),
    Package("python-sqlalchemy-doc", "?"),
    Package("nova-doc", "?"),
    Package("neutron-doc", "?"),
    Package("keystone-doc", "?"),
    Package("cinder-doc", "?"),
    Package("ironic-doc", "?"),
    Package("swift-doc", "?"),
    Package("glance-doc", "?"),
    Package("heat-doc", "?"),
    Package("apache2-doc", "?"),
    Package("bind9-doc", "?"),
    Package("exim4-doc-html", "?"),
    Package("postfix-doc", "?"),
    Package("krb5-doc", "?"),
    Package("installation-guide-amd64", "?"),
    Package("cmake-doc", "?"),
    Package("llvm-15-doc", "?"),
    Package("clang-14-doc", "?"),
    Package("qtdeclarative5-doc-html", "?"),
    Package("qtquickcontrols2-5-doc-html", "?"),
    Package("qtmultimedia5-doc-html", "?"),
    Package("qtbase5-doc-html", "?"),
    Package("octave-doc", "?"),
    Package("r-doc-html", "?"),
    Package("swi-prolog-doc", "?"),
    Package("python-sympy-doc", "?"),
    Package("sphinx-doc", "?"),
    Package("docutils-doc", "?"),
    Package("python-celery-doc", "?"),
    Package("python-dask-doc", "?"),
    Package("python-distributed-doc", "?"),
    Package("twisted-doc", "?"),
    Package("libboost1.81-doc", "?"),
    Package("erlang-doc", "?"),
    Package("lemonldap-ng-doc", "?"),
    Package("icinga2-doc", "?"),
    Package("kea-doc", "?"),
    Package("borgbackup-doc", "?"),
    Package("nodejs-doc", "?"),
    Package("ada-reference-manual-2012", "?"),
    Package("gap-doc", "?"),
    Package("db5.3-doc", "?"),
    Package("racket-doc", "?"),
    Package(
        "rust-doc",
        "?",
        only=r"/html/(book|reference|nomicon|rustc|rustdoc|cargo|edition-guide|embedded-book"
        r"|rust-by-example|unstable-book|error_codes)/(?!print\.html)",
    ),
    Package("openjdk-17-doc", "?"),
    Package("qtwebengine5-doc-html", "?"),
    Package("qttools5-doc-html", "?"),
    Package("qt5-doc-html", "?"),
    Package("qtlocation5-doc-html", "?"),
    Package("qt3d5-doc-html", "?"),
    Package("debian-faq", "?"),
    Package("debmake-doc", "?"),
    Package("harden-doc", "?"),
    Package("aptitude-doc-en", "?"),
    Package("debian-edu-doc-en", "?"),
    Package("python-scipy-doc", "?"),
    Package("python-astropy-doc", "?"),
    Package("cppreference-doc-en-html", "?"),
    Package("libgtk-3-doc", "?"),
    Package("libgtk-4-doc", "?"),
    Package("libglib2.0-doc", "?"),
    Package("fp-docs-3.2.2", "?"),
    Package("libreoffice-help-en-us", "?"),
    Package("grass-doc", "?"),
    Package("dpdk-doc", "?"),
    Package("python-tornado-doc", "?"),
    Package("python-cryptography-doc", "?"),
    Package("tomcat10-docs", "?"),
    Package("ant-doc", "?"),
    Package("imagemagick-6-doc", "?"),
    Package("povray-doc", "?"),
    Package("scilab-doc", "?"),
    Package("python-xarray-doc", "?"),
    Package("wx3.2-doc", "?"),
)
