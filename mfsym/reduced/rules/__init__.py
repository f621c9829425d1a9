"""Rules of integration and reconstruction, and harmonics: what knows no problem, or only how to integrate a target."""
