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
    Package("linux-doc-6.1", "GPL-2"),
    Package("postgresql-doc-15", "PostgreSQL"),
    Package("perl-doc", "GPL-1+ or Artistic"),
    Package("python3.11-doc", "PSF-2.0"),
    Package("git-doc", "GPL-2"),
    Package("manpages", "GPL-2+, Linux-man-pages-copyleft, BSD, MIT by page"),
    Package("manpages-dev", "GPL-2+, Linux-man-pages-copyleft, BSD, MIT by page"),
    Package("libssl-doc", "Apache-2.0"),
    Package("debian-handbook", "GPL-2+ or CC-BY-SA-3.0"),
    Package("debian-policy", "GPL-2+"),
    Package("debian-reference-en", "GPL-2+"),
    Package("developers-reference", "GPL-2"),
    Package("sqlite3-doc", "public domain"),
    Package("python-django-doc", "BSD-3-Clause"),
    Package("nova-doc", "Apache-2.0"),
    Package("neutron-doc", "Apache-2.0"),
    Package("keystone-doc", "Apache-2.0"),
    Package("cinder-doc", "Apache-2.0"),
    Package("ironic-doc", "Apache-2.0"),
    Package("swift-doc", "Apache-2.0"),
    Package("glance-doc", "Apache-2.0"),
    Package("heat-doc", "Apache-2.0"),
    Package("apache2-doc", "Apache-2.0"),
    Package("bind9-doc", "MPL-2.0"),
    Package("exim4-doc-html", "GPL-2+"),
    Package("postfix-doc", "EPL-2.0 or IPL-1.0"),
    Package("krb5-doc", "CC-BY-SA-3.0"),
    Package("installation-guide-amd64", "GPL-2"),
    Package("cmake-doc", "BSD-3-Clause"),
    Package("llvm-15-doc", "Apache-2.0 with LLVM exceptions"),
    Package("clang-14-doc", "Apache-2.0 with LLVM exceptions"),
    Package("octave-doc", "GPL-3+"),
    Package("r-doc-html", "GPL-2"),
    Package("swi-prolog-doc", "BSD-2-Clause"),
    Package("openjdk-17-doc", "GPL-2 with Classpath exception"),
    Package("erlang-doc", "Apache-2.0"),
    Package("libboost1.81-doc", "BSL-1.0"),
    Package("racket-doc", "LGPL-2.1+"),
    Package("sphinx-doc", "BSD-2-Clause"),
    Package("docutils-doc", "public domain"),
    Package("python-celery-doc", "CC-BY-SA-4.0"),
    Package("python-dask-doc", "BSD-3-Clause"),
    Package("python-distributed-doc", "BSD-3-Clause"),
    Package("twisted-doc", "MIT"),
    Package("kea-doc", "MPL-2.0"),
    Package("borgbackup-doc", "BSD-3-Clause"),
    Package("nodejs-doc", "MIT"),
    Package("ada-reference-manual-2012", "copying and marked changes permitted (ARM licence)"),
    Package("gap-doc", "GPL-2+"),
    Package("db5.3-doc", "Sleepycat"),
    Package("debian-faq", "copying and changes permitted, notice kept"),
    Package("debmake-doc", "MIT"),
    Package("harden-doc", "GPL-2"),
    Package("aptitude-doc-en", "GPL-2+"),
    Package("debian-edu-doc-en", "GPL-2+"),
)
