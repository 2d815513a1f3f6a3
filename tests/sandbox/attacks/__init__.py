"""Every attack of the table in the design, as data: what it does, what the same does outside, how it must end."""

import os

from sandbox.attacks import files, kernel, network, processes, resources, secrets
from sandbox.attacks.attack import Attack

ATTACKS: tuple[Attack, ...] = tuple(
    attack
    for module in (files, secrets, network, processes, resources, kernel)
    for attack in module.ATTACKS
    if os.uname().machine in attack.machines
)
