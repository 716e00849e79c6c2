"""What it computes: equations as systems, systems as steps. Sympy lives here and only here."""
