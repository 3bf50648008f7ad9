"""Error functions of generated kernels: erf and erfc; branch-free. Polynomials are our own minimax fits.

Of a kernel that has the derivative of erf, too, LLVM finds that both have exp(-x^2): it must be written as it is there.
"""

import numpy as np

from graphc.codegen.fused import fma
from graphc.codegen.vecmath_double import _product_f64, _upper_f32
from graphc.codegen.vecmath_exp import _exp_parts_f32, _exp_parts_f64, _ldexp_f32, _ldexp_f64, exp_f32, exp_f64
from graphc.codegen.vecmath_row import Function

# float32


def erf_f32(x: np.float32) -> np.float32:
    return _erf_by_exp_f32(x, exp_f32(-(x * x)))


def _erf_by_exp_f32(x: np.float32, e: np.float32) -> np.float32:
    # with e = exp(-x^2); below 0.9: x + x P(x^2); above: 1 - e Q(|x|)
    z = x * x
    p = fma(z, fma(z, np.float32(8.5130996e-5), np.float32(-8.17564433e-4)), np.float32(5.20386035e-3))
    p = fma(z, fma(z, p, np.float32(-0.0268605091)), np.float32(0.112837151))
    p = fma(z, fma(z, p, np.float32(-0.376126349)), np.float32(0.12837923))
    size = abs(x)
    a = np.float32(4.0) if size > np.float32(4.0) else size
    q = fma(a, fma(a, np.float32(1.3469208e-4), np.float32(-2.3184102e-3)), np.float32(0.017843707))
    q = fma(a, fma(a, fma(a, q, np.float32(-0.08164238)), np.float32(0.24956761)), np.float32(-0.5443209))
    q = fma(a, fma(a, fma(a, q, np.float32(0.8836149)), np.float32(-1.0894489)), np.float32(0.99415326))
    y = fma(-e, q, np.float32(1.0))
    return fma(x, p, x) if size < np.float32(0.9) else np.copysign(y, x)


def erfc_f32(x: np.float32) -> np.float32:
    # for x >= 0: exp(-x^2) (1 + x q P(t)) / (1 + 2 x), q = 1 / (x + 2.5), t = (x - 2.5) q (Shepherd, Laframboise)
    size = abs(x)
    a = np.float32(10.5) if size > np.float32(10.5) else size
    upper = _upper_f32(a)
    square = a * a
    lost = fma(a - upper, a + upper, fma(upper, upper, -square))
    k, high, low = _exp_parts_f32(-square, -lost)
    q = np.float32(1.0) / (a + np.float32(2.5))
    t = (a - np.float32(2.5)) * q
    p = fma(t, fma(t, np.float32(-0.000120123519), np.float32(1.69720974e-05)), np.float32(0.00116585811))
    p = fma(t, fma(t, fma(t, p, np.float32(-0.000251899812)), np.float32(-0.00848470861)), np.float32(0.010374624))
    p = fma(t, fma(t, fma(t, p, np.float32(0.0551424821)), np.float32(-0.261080833)), np.float32(0.576341077))
    p = fma(t, fma(t, p, np.float32(-0.774389906)), np.float32(0.529676366))
    y = fma(a * q, p, np.float32(1.0)) / (np.float32(1.0) + (a + a))
    y = _ldexp_f32(fma(y, high + low, y), k)
    return np.float32(2.0) - y if x < np.float32(0.0) else y


# float64


def erf_f64(x: float) -> float:
    return _erf_by_exp_f64(x, exp_f64(-(x * x)))


def _erf_by_exp_f64(x: float, e: float) -> float:
    # with e = exp(-x^2); below 1: x + x P(x^2); above: 1 - e Q(t), t = (|x| - 3) / (|x| + 3)
    z = x * x
    p = fma(z, fma(z, 5.939812291320715e-11, -1.1362520073658693e-09), 1.465708681254041e-08)
    p = fma(z, fma(z, fma(z, p, -1.6349910626363722e-07), 1.6460962340820255e-06), -1.4925592876058689e-05)
    p = fma(z, fma(z, fma(z, p, 0.00012055331011640255), -0.0008548326978078889), 0.005223977624769873)
    p = fma(z, fma(z, fma(z, p, -0.026866170645071824), 0.11283791670954853), -0.3761263890318375)
    p = fma(z, p, 0.12837916709551256)
    size = abs(x)
    a = 6.0 if size > 6.0 else size
    t = (a - 3.0) / (a + 3.0)
    q = fma(t, fma(t, 1.261695807045811e-06, 2.001738885036939e-06), -8.008815837631508e-06)
    q = fma(t, fma(t, fma(t, q, -1.2841586894431e-05), 6.406349084713191e-05), 4.525379905441005e-05)
    q = fma(t, fma(t, fma(t, q, -0.0005970626320981521), 0.0007077465003839453), 0.004269136366525811)
    q = fma(t, fma(t, fma(t, q, -0.024392499319930913), 0.0716658371971865), -0.15011593650076524)
    q = fma(t, fma(t, fma(t, q, 0.24560380171233795), -0.3262335600430373), 0.17900115118138993)
    y = fma(-e, q, 1.0)
    return fma(x, p, x) if size < 1.0 else np.copysign(y, x)


def erfc_f64(x: float) -> float:
    # for x >= 0: exp(-x^2) (1 + x q P(t)) / (1 + 2 x), q = 1 / (x + 4), t = (x - 4) q (Shepherd, Laframboise)
    size = abs(x)
    a = 28.0 if size > 28.0 else size
    square, lost = _product_f64(a, a)
    k, high, low = _exp_parts_f64(-square, -lost)
    q = 1.0 / (a + 4.0)
    t = (a - 4.0) * q
    p = fma(t, fma(t, 2.434242362337261e-09, 1.1299239305169059e-09), -2.9020374578191897e-08)
    p = fma(t, fma(t, fma(t, p, -6.310285828469002e-09), 2.2607763913702323e-07), -7.774977442811047e-08)
    p = fma(t, fma(t, fma(t, p, -1.5730101790840085e-06), 2.1616117197972596e-06), 9.257956355484476e-06)
    p = fma(t, fma(t, fma(t, p, -3.1702661140658566e-05), -1.7095872644786413e-05), 0.000318339498947666)
    p = fma(t, fma(t, fma(t, p, -0.0007168528434769653), -0.0007986938083991413), 0.010862633753815172)
    p = fma(t, fma(t, fma(t, p, -0.04325810185693303), 0.11759313293329252), -0.25025386455892523)
    p = fma(t, fma(t, fma(t, p, 0.43771953455553), -0.6397976666280804), 0.7759917751374684)
    p = fma(t, fma(t, p, -0.7452324709322301), 0.465990237251105)
    y = fma(a * q, p, 1.0) / (1.0 + (a + a))
    y = _ldexp_f64(fma(y, high + low, y), k)
    return 2.0 - y if x < 0.0 else y


ROWS = (
    Function(_erf_by_exp_f32, ulp=2.0, vectorises=True),
    Function(_erf_by_exp_f64, ulp=1.4, vectorises=True),
    Function(erf_f32, ulp=2.0, vectorises=True),
    Function(erfc_f32, ulp=4.2, vectorises=True),
    Function(erf_f64, ulp=1.4, vectorises=True),
    Function(erfc_f64, ulp=3.8, vectorises=True),
)
