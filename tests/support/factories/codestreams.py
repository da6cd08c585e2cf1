"""Codestreams of other people's encoders, for syntaxes that nothing among the tests can write.

32 x 32 pixels of 8 bits. HTJ2K was written by OpenJPH with imagecodecs 2026.3.6,
``htj2k_encode(STEPS, reversible=True)`` and ``(STEPS, reversible=False, level=0.002)``; the
progressive JPEG by libjpeg-turbo with Pillow, ``Image.fromarray(SLOPE).save(file, "JPEG",
quality=95, progressive=True)``.
"""

from __future__ import annotations

from base64 import b85decode
from typing import Final

import numpy as np

STEPS: Final = np.resize(np.arange(0, 256, 17, dtype=np.uint8), (32, 32))
SLOPE: Final = (4 * np.add.outer(np.arange(32), np.arange(32))).astype(np.uint8)

HTJ2K_REVERSIBLE: Final = b85decode(
    "|4;u>04YEK0000W0000W00000000000000W0000W0000000000009R90sl|{2mk^A00092QUDA90ssL31q1{@0sm"
    "Y86Cg-XP*6}%P*6}%P*6}vNJ#%=02crOPjF>!N>E53R%LP^FfKASE;BCwkN^q*00000oB#p;lfWhS00(pcz!HF#0"
    "S9ydz!d=YcC+~aL6iW%7MK<m%cVwRVX?HNsre9`0Rdun0KgYY05C8iC>0o(kPt<Ife8sw6d0J05JmZ%Q@Wm=)b#G"
    "Bq?gfxe*nNP$PNwwI5+^{-~fPw0{{*V05~`R;NSp&g98BN|4MS6oTsNL>B@R?o}8zrDZmSXf_MS{*#"
)
HTJ2K_IRREVERSIBLE: Final = b85decode(
    "|4;u>04YEK0000W0000W00000000000000W0000W0000000000009R90sl|{2mk^A001NZQUDA90ssL31q1{@0RL"
    "P7BO-rve?@;qe;0RLcU*TpZ>n#qZ^BqLST$I9P#RDgU%&rk02crOPjF>!N>E53R%LP^FfKASE;BCwkN^q*000017"
    "XShOlfVF&cl!eebO68rn7sW12Xp|y0aO4k>_VRK<N(2x0Kfv=07Vo*IN{-kFOWb*6hS!Q;fF7fKmcbFF@UnT0Kf~"
    "=KrsB{4>FQbDv3m^6`c;lfBZoP8KsmWf(WY>oesl){6Pj8rIaFq2&)yH4#R)^K?WJ6lp=x%s}-I804E78&JtUkB("
    "?wmvW60yasj{>x&ZDlVW?0MVl9mAVZu<MB0|Jk7~8{yp+ZH3h_x`bhY3T4iU<*FVQdc*h6)uCBG$s#9wrPGDk4Oz"
    "g|R(M7%Egmh*%3_dzdg(sE81;7RFckCrMw)I!gXY(pU0MlE0F4mHd;WujHL2egLchK0vJtbOQg`"
)
PROGRESSIVE: Final = b85decode(
    "|JeWF01!$>Nk#wx0RR9200961|JwjV00IF40RaI50RaI50s;a81OoyB0s;jD1Oo&H1qKEN1qKEN2MGuU2MGrT1_%"
    "oX2?`1d3JL}Y3k(Yi3<(Mf3je|Y3kU!p03ZPY5di<h02KfM0RR910000000000000072>;pu2mt{A0004v&=3$O^"
    "aKP6{Q&_2e?UM$|HJ?l5CH)I00000000000000000jX5+5iXv0RRC70yNmuV@-`VG}zN)O^r4**wbT8jW#sc(_>A"
    "IHvhx`77zdf00000000000000000001BLCU|2mt{A20sE)DHMuDB9Ta>QYjRQMIw<%r2oVK6c7Ob000000000000"
    "000002P$+5iXv0RRC%ApigX0000000;lt00;pA0000G0095Q02UAc0{{R3000000000000000L81TJ00;pA00BP`"
    "n2Cs(iHMkqh?t3pn2Cs(iHMkqh?t3p|Je"
)
